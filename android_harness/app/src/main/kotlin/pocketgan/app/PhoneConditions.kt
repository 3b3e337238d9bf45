package pocketgan.app

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.hardware.display.DisplayManager
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import android.view.Display
import pocketgan.measure.NanoClock
import pocketgan.measure.processorMhz
import pocketgan.schema.Conditions
import pocketgan.schema.ThermalState

/** Volts below which a reading is no millivolts: some phones tell whole volts. */
private const val LEAST_MILLIVOLTS = 1000
private const val MICROAMPERES = 1e6
private const val MICROAMPERE_HOURS = 1e3
private const val MILLIVOLTS = 1e3

/** The phone's state, by what any app may ask. What Android does not tell is null. */
internal class PhoneConditions(private val context: Context, private val clock: NanoClock) {
    private val power = context.getSystemService(PowerManager::class.java)
    private val battery = context.getSystemService(BatteryManager::class.java)
    private val displays = context.getSystemService(DisplayManager::class.java)

    /** The state now; twice a second or more, and Android does not tell the headroom. */
    fun read(): Conditions {
        // The last broadcast, which is kept for whoever asks.
        val told = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        val current = amperes()
        val volts = told?.let(::volts)
        val plugged = told?.number(BatteryManager.EXTRA_PLUGGED)
        return Conditions(
            atNs = clock.now(),
            thermalState = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) thermalState() else null,
            temperatureC = told?.number(BatteryManager.EXTRA_TEMPERATURE)?.let { it / 10.0 },
            batteryPercent = told?.let(::percent),
            // Whether a charger is on it, full or not: its current is no measure of the work then.
            charging = plugged?.let { it != 0 },
            thermalHeadroom = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) headroom() else null,
            powerW = current?.let { amperes -> volts?.let { amperes * it } },
            powerSave = power.isPowerSaveMode,
            screenOn = power.isInteractive,
            frequencyMhz = processorMhz(),
            currentA = current,
            voltageV = volts,
            chargeMah = gauge(BatteryManager.BATTERY_PROPERTY_CHARGE_COUNTER)?.let { it / MICROAMPERE_HOURS },
            refreshHz = displays.getDisplay(Display.DEFAULT_DISPLAY)?.refreshRate?.toDouble(),
            // Neither is ever asked for here: what an app gets without them is measured.
            sustainedPerformance = false,
            performanceHint = false,
        )
    }

    private fun percent(told: Intent): Double? {
        val level = told.number(BatteryManager.EXTRA_LEVEL) ?: return null
        val scale = told.number(BatteryManager.EXTRA_SCALE)?.takeIf { it > 0 } ?: return null
        return 100.0 * level / scale
    }

    /** Drawn from the battery, while Android tells what flows into it. */
    private fun amperes(): Double? = gauge(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW)?.let { -(it / MICROAMPERES) }

    private fun volts(told: Intent): Double? =
        told.number(BatteryManager.EXTRA_VOLTAGE)?.takeIf { it >= LEAST_MILLIVOLTS }?.let { it / MILLIVOLTS }

    /** Null for the two values that a phone without a gauge tells. */
    private fun gauge(property: Int): Int? = battery.getIntProperty(property).takeIf { it != Int.MIN_VALUE && it != 0 }

    /** In four, as the host groups the seven of `dumpsys thermalservice`. */
    @NewerThanAndroid8
    private fun thermalState(): ThermalState = when (power.currentThermalStatus) {
        PowerManager.THERMAL_STATUS_NONE -> ThermalState.NOMINAL
        PowerManager.THERMAL_STATUS_LIGHT, PowerManager.THERMAL_STATUS_MODERATE -> ThermalState.FAIR
        PowerManager.THERMAL_STATUS_SEVERE -> ThermalState.SERIOUS
        else -> ThermalState.CRITICAL
    }

    /** Now, not in some seconds; not a number where the phone has no forecast, or was asked too often. */
    @NewerThanAndroid8
    private fun headroom(): Double? = power.getThermalHeadroom(0).toDouble().takeIf { it.isFinite() && it >= 0 }

    private fun Intent.number(name: String): Int? = getIntExtra(name, Int.MIN_VALUE).takeIf { it != Int.MIN_VALUE }
}
