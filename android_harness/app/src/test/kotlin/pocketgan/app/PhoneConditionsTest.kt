package pocketgan.app

import android.app.Application
import android.content.Context
import android.content.Intent
import android.os.BatteryManager
import android.os.PowerManager
import kotlin.test.assertEquals
import kotlin.test.assertNull
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.Implementation
import org.robolectric.annotation.Implements
import org.robolectric.shadows.ShadowPowerManager
import pocketgan.measure.NanoClock
import pocketgan.schema.Conditions
import pocketgan.schema.ThermalState

@RunWith(RobolectricTestRunner::class)
class PhoneConditionsTest {
    private val context: Application = RuntimeEnvironment.getApplication()
    private val power = shadowOf(context.getSystemService(Context.POWER_SERVICE) as PowerManager)
    private val battery = shadowOf(context.getSystemService(Context.BATTERY_SERVICE) as BatteryManager)

    private fun conditions(): Conditions = PhoneConditions(context, NanoClock { 7 }).read()

    private fun tellBattery(vararg values: Pair<String, Int>) {
        val told = Intent(Intent.ACTION_BATTERY_CHANGED)
        for ((name, value) in values) told.putExtra(name, value)
        @Suppress("DEPRECATION")
        context.sendStickyBroadcast(told)
    }

    @Test
    fun `battery is told in percent and degrees`() {
        tellBattery("level" to 30, "scale" to 40, "plugged" to 0, "temperature" to 312)
        val now = conditions()
        assertEquals(75.0, now.batteryPercent)
        assertEquals(31.2, now.temperatureC)
        assertEquals(false, now.charging)
        assertEquals(7, now.atNs)
    }

    @Test
    fun `full battery on a charger is on a charger`() {
        tellBattery("plugged" to BatteryManager.BATTERY_PLUGGED_USB, "status" to BatteryManager.BATTERY_STATUS_FULL)
        assertEquals(true, conditions().charging)
    }

    @Test
    fun `power drawn is current out of the battery times its voltage`() {
        tellBattery("voltage" to 4000)
        battery.setIntProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW, -500_000)
        assertEquals(2.0, conditions().powerW!!, absoluteTolerance = 1e-9)
        battery.setIntProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW, 250_000)
        assertEquals(-1.0, conditions().powerW!!, absoluteTolerance = 1e-9)
    }

    @Test
    fun `current, voltage and charge are told apart for energy`() {
        tellBattery("voltage" to 3924)
        battery.setIntProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW, -790_000)
        battery.setIntProperty(BatteryManager.BATTERY_PROPERTY_CHARGE_COUNTER, 3_121_400)
        val now = conditions()
        assertEquals(listOf<Double?>(0.79, 3.924, 3121.4), listOf(now.currentA, now.voltageV, now.chargeMah))
    }

    @Test
    fun `the display's rate is told, and that nothing was asked of the system's schedulers`() {
        assertEquals(60.0, conditions().refreshHz!!, absoluteTolerance = 0.1)
        assertEquals(listOf<Boolean?>(false, false), conditions().run { listOf(sustainedPerformance, performanceHint) })
    }

    @Test
    fun `power is unknown without a gauge or with a voltage too coarse`() {
        tellBattery("voltage" to 4000)
        battery.setIntProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW, Int.MIN_VALUE)
        assertNull(conditions().powerW)
        tellBattery("voltage" to 4)
        battery.setIntProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW, -500_000)
        assertNull(conditions().powerW)
    }

    @Test
    fun `seven thermal states are four`() {
        val told = (PowerManager.THERMAL_STATUS_NONE..PowerManager.THERMAL_STATUS_SHUTDOWN).map { status ->
            power.setCurrentThermalStatus(status)
            conditions().thermalState
        }
        val (nominal, fair, serious, critical) = ThermalState.entries
        assertEquals(listOf<ThermalState?>(nominal, fair, fair, serious, critical, critical, critical), told)
    }

    @Test
    @Config(shadows = [ForecastingPowerManager::class])
    fun `headroom is null where the phone has none`() {
        ForecastingPowerManager.headroom = 0.625f
        assertEquals(0.625, conditions().thermalHeadroom)
        ForecastingPowerManager.headroom = Float.NaN
        assertNull(conditions().thermalHeadroom)
    }

    @Test
    fun `power save and screen are told`() {
        power.setIsPowerSaveMode(true)
        power.turnScreenOn(false)
        assertEquals(true, conditions().powerSave)
        assertEquals(false, conditions().screenOn)
    }

    @Test
    fun `what the phone does not tell is null`() {
        tellBattery()
        val now = conditions()
        assertNull(now.batteryPercent)
        assertNull(now.charging)
        assertNull(now.temperatureC)
    }
}

/** Robolectric's has no headroom. */
@Implements(PowerManager::class)
class ForecastingPowerManager : ShadowPowerManager() {
    @Suppress("unused", "UNUSED_PARAMETER")
    @Implementation
    fun getThermalHeadroom(forecastSeconds: Int): Float = headroom

    companion object {
        var headroom = 0f
    }
}
