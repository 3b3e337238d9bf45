package pocketgan.app

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import pocketgan.measure.NanoClock
import pocketgan.schema.Conditions
import pocketgan.schema.ThermalState

/** Volts below which a reading is no millivolts: some phones tell whole volts. */
private const val LEAST_MILLIVOLTS = 1000
private const val MICROAMPERES = 1e6
private const val MILLIVOLTS = 1e3

/** The phone's state, by what any app may ask. What Android does not tell is null. */
internal class PhoneConditions(private val context: Context, private val clock: NanoClock) {
    private val power = context.getSystemService(PowerManager::class.java)
    private val battery = context.getSystemService(BatteryManager::class.java)

    /** The state now; twice a second or more, and Android does not tell the headroom. */
    fun read(): Conditions {
        // The last broadcast, which is kept for whoever asks.
        val told = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        val plugged = told?.number(BatteryManager.EXTRA_PLUGGED)
        return Conditions(
            atNs = clock.now(),
            thermalState = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) thermalState() else null,
            temperatureC = told?.number(BatteryManager.EXTRA_TEMPERATURE)?.let { it / 10.0 },
            batteryPercent = told?.let(::percent),
            // Whether a charger is on it, full or not: its current is no measure of the work then.
            charging = plugged?.let { it != 0 },
            thermalHeadroom = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) headroom() else null,
            powerW = told?.let(::watts),
            powerSave = power.isPowerSaveMode,
            screenOn = power.isInteractive,
        )
    }

    private fun percent(told: Intent): Double? {
        val level = told.number(BatteryManager.EXTRA_LEVEL) ?: return null
        val scale = told.number(BatteryManager.EXTRA_SCALE)?.takeIf { it > 0 } ?: return null
        return 100.0 * level / scale
    }

    /** Drawn from the battery: the current that Android tells flows into it. */
    private fun watts(told: Intent): Double? {
        val microamperes = battery.getIntProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW)
        // Both are what a phone without a gauge says.
        if (microamperes == Int.MIN_VALUE || microamperes == 0) return null
        val millivolts = told.number(BatteryManager.EXTRA_VOLTAGE)?.takeIf { it >= LEAST_MILLIVOLTS } ?: return null
        return -(microamperes / MICROAMPERES) * (millivolts / MILLIVOLTS)
    }

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
